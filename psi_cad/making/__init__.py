"""Parts made: designed, written, measured from their files, and told; on no bone, from a bone's body, and beside a guide."""
