"""Browser contexts, one account each, kept alive over slots; knows neither sites nor the allocator."""
