"""PostgreSQL: the embedded server, the pool, the migrations, and one module for each family of tables.

All SQL of the program stands in this folder.
"""
