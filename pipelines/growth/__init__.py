"""A catalog that grows: new items without training, whether training pays, and a training in one job."""
