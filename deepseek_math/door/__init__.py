"""OpenAI's API, before Cog's HTTP API of a service here or elsewhere: `dsm openai` starts it.

It is a client of the service, which neither imports it nor needs its packages.
"""
