"""What `demo-app check` finds in a tab: names and docstrings of its actions."""

from __future__ import annotations

from checked_plugins import assert_only, problems
from plugins_on_disk import Plugins


def test_names_and_docstrings_of_actions(plugins: Plugins) -> None:
    code = """
    def build(handle):
        import gradio as gr

        def both(text, number: float, request: gr.Request, progress=gr.Progress()):
            '''Do it.

            Args:
                text: any.

            Returns:
                The text.
            '''
            return text

        def silent(text):
            return text

        def twice(text, count):
            "The same twice. Args: text: any. Returns: it."
            return text, count

        box, number, kept = gr.Textbox(label="T"), gr.Number(1, label="N"), gr.State()
        gr.Button().click(both, [box, number], box, api_name="both")
        gr.Button("B").click(silent, box, box)
        gr.Button().click(lambda: "", None, box)
        gr.Button().click(twice, [box, kept], [box, kept], api_name="twice")
        gr.Button().click(twice, [box, kept], [box, kept], api_name="twice")
        gr.Button().click(lambda: "", None, box, api_visibility="private")
        gr.HTML(html_template="<b>{{value}}</b>")
    """
    assert_only(
        problems(plugins, code),
        '/both has a docstring that says nothing of number. Add "Args: number: what it is."',
        "/silent has no docstring. Say what it does, takes and returns.",
        "an event has no name of its own (lambda). Give api_name.",
        "/lambda has no docstring.",
        "two events are named /twice. Give each an api_name of its own.",
        "an html_template uses {{...}}, which runs code.",
    )
