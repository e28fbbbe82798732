"""A module beside the handler."""

NAME = "beside the handler"
