"""/v2: the Open Inference Protocol and MLRun's loose form, on the same URLs, for every model and graph."""
