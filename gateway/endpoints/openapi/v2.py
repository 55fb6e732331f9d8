"""What requests and answers of the Open Inference Protocol look like."""

from __future__ import annotations

from gateway.endpoints.openapi.words import ANY, OBJECT, SCALAR, TEXT, JSONSchema, array, either, number, object_of, ref

PARAMETERS: JSONSchema = {"type": "object", "additionalProperties": SCALAR}
TENSOR = object_of(
    "name",
    "shape",
    "datatype",
    name=TEXT,
    shape=array(number("integer", 0), most=8),
    datatype=TEXT,
    parameters=PARAMETERS,
)
V2 = {
    "Tensor": {**TENSOR, "description": "With 'data', or with as many bytes behind the JSON as it says."},
    "InferRequest": either(
        object_of(
            "inputs",
            id={"type": ["string", "integer"]},
            parameters=PARAMETERS,
            inputs=array(ref("Tensor"), least=1),
            outputs=array(object_of("name", name=TEXT, parameters=PARAMETERS)),
        ),
        object_of("inputs", inputs=array({"not": OBJECT}, least=1)),
    ),
    "InferResponse": {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {"id": ANY, "model_name": TEXT, "outputs": ANY, "timestamp": TEXT},
    },
    "GenerateRequest": {
        **object_of("text_input", text_input=TEXT, id={"type": ["string", "integer"]}, parameters=PARAMETERS),
        "description": "Parameters of a chat, such as max_tokens, may stand beside the text as well.",
    },
    "GenerateResponse": {
        "type": "object",
        "required": ["model_name", "model_version", "text_output"],
        "properties": {"id": ANY, "model_name": TEXT, "model_version": TEXT, "text_output": TEXT},
    },
}
