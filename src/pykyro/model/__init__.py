"""The words of all floors: ids, values, documents, filters, requests, results, limits, errors, and their checks."""
