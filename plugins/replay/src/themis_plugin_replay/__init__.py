"""An engine that answers with recorded outputs, and a judge with recorded verdicts."""
