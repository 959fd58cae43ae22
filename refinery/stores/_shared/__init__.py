"""Parts of the stores that are not plug-ins themselves."""
