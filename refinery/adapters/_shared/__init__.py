"""What the adapters share; not plug-ins themselves."""
