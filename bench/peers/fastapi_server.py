"""A server of the usual kind: FastAPI and PyTorch, an image of a digit to its label.

usage: fastapi_server.py WEIGHTS PORT
"""

import io
import sys

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, Request
from PIL import Image, ImageOps
from safetensors.torch import load_file

state = load_file(sys.argv[1])
hidden = len(state["dense_1.bias"])
model = torch.nn.Sequential(torch.nn.Linear(784, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 10))
names = [f"dense_{layer}.{part}" for layer in (1, 2) for part in ("weight", "bias")]
model.load_state_dict(dict(zip(model.state_dict(), (state[name] for name in names))))
app = FastAPI()


@app.post("/predict")
async def predict(request: Request):
    image = Image.open(io.BytesIO(await request.body())).convert("L")
    pixels = np.asarray(ImageOps.invert(image).resize((28, 28)), np.float32) / 255
    with torch.no_grad():
        probabilities = model(torch.from_numpy(pixels).view(1, -1)).softmax(1)[0]
    label = int(probabilities.argmax())
    confidence = float(probabilities[label])
    return {"label": label, "confidence": confidence, "probabilities": probabilities.tolist()}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
