region             = "ap-southeast-1"
record_copy_region = "eu-west-1"

# Global groups of the regions that are joined, by output global_groups of each:
# eu-west-1 = ["abcde-stepdown-1-0"]
joined = {}
