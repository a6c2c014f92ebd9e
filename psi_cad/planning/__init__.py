"""From planned planes and a bone to a site: what each cut bounds, what bone can be reached, where a guide may sit."""
