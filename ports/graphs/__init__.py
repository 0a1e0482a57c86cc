"""Attribution graphs as files: Neuronpedia's JSON, GraphML, Parquet."""
