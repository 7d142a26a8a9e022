"""The API for programs, `/api/v1/`: what there is, a page at a time, and what a person may order."""
