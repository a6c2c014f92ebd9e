"""Where the options of a saw guide go: from its site, its slots and what was asked, to the features of `options`."""
