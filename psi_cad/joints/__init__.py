"""What a joint shows in bone: dark seams, bright sheets, regions between them, the least cut, and the border drawn anew."""
