"""Parts without a bone, above all the gauge coupon: the job, what was measured of the files, and what a print of it tells."""
