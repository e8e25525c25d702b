"""Objects in buckets and on web servers, with obstore and huggingface_hub.

Credentials come from the environment alone. They are never part of a URL that is shown or stored.
"""
