"""What cuts do: margins, depth, pieces, the search for planes. No kernel."""
