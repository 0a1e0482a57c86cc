"""What a page shows of a graph and that is not in its file: places of nodes, shares of edges, groups to propose."""
