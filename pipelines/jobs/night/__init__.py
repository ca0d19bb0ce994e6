"""Parts of the job ``recommend``, each about one thing: whom, with what, read how, which rows, good enough or not."""
