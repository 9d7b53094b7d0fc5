# The page in a container; `docker run -p 127.0.0.1:8501:8501 IMAGE` opens it to this machine alone.
# For CUDA name PyTorch's index of wheels for your driver:
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 -t chatterscope .
FROM python:3.12-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

RUN useradd --create-home --uid 1000 chatterscope
WORKDIR /home/chatterscope/app
COPY requirements.txt .
# torch first: the index that it comes from is the only difference between the two.
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" "$(grep '^torch==' requirements.txt)" \
    && pip install --no-cache-dir -r requirements.txt
COPY .streamlit .streamlit
COPY app app
COPY sadam sadam
COPY probes probes
COPY demo_models demo_models

USER chatterscope
# Inside a container the loopback interface is its own; `docker run -p` says who may come in.
ENV CHATTERSCOPE_CACHE=/home/chatterscope/cache
EXPOSE 8501
HEALTHCHECK --start-period=60s CMD ["python", "-c", \
    "import urllib.request as r; r.urlopen('http://localhost:8501/_stcore/health', timeout=5)"]
CMD ["python", "-m", "app", "serve", "--no-browser", "--address", "0.0.0.0"]
