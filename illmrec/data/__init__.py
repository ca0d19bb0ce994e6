"""Raw catalogs to tables, ids to indices, histories to splits and training examples."""
