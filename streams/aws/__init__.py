"""AWS calls for functions whose CPU and cold start count: Signature Version 4 over one kept-alive connection."""
