"""For people: pictures, tables and checks."""
