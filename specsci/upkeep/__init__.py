"""Keeping a store: what takes how much space, what may go, taking a study out, bringing two stores together."""
