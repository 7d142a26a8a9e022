"""Values that would cost a query or a page to find again, kept for a while: in this process, or in Redis."""
