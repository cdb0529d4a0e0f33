"""How the tests load the plugin for pytest."""

from importlib.metadata import entry_points

# pytest loads the plugin by its entry point, which only an installed package has: not one that is on the path, or whose
# editable installation is older than the entry point. Then these modules are to be loaded by their name. Not both,
# because pytest rejects that.
UNREGISTERED_PLUGINS = (
    [] if entry_points(group="pytest11", name="airflow_pinecone") else ["airflow_pinecone.pytest_plugin"]
)
LOAD_PLUGIN = [option for name in UNREGISTERED_PLUGINS for option in ("-p", name)]
