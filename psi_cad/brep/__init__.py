"""Checked kernel operations and the solids a guide is made of; everything here is in the guide frame, mm."""
