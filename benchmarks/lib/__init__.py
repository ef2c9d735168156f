"""Code that the scripts in run and pages share."""
