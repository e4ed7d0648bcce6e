"""The code that trained the bundled network. The product never imports it; it needs the `training`
dependency group.
"""
