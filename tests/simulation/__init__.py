"""A simulator: many processes and one database in one interpreter, whose bad luck and whose order come from a seed."""
