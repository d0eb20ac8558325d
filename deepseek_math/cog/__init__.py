"""What we know of Cog's internals: live streams, cancels, the schema that coglet reads."""
