"""Templates that users write: Jinja2 in its sandbox, undefined names are errors, and all that they do is bounded."""

from themis_templates.template import Expression, NotAllowed, NotThere, Template, TemplateError

__all__ = ["Expression", "NotAllowed", "NotThere", "Template", "TemplateError"]
