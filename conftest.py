"""The tests here use the host from this folder, not an installed one: so its pytest plugin is named."""

pytest_plugins = ["demo_app.testing.fixtures"]
