"""The template contract, the registry of templates, and the site a template builds on."""
