"""Base models of a hub: `hub:ORG/NAME@REVISION`."""
