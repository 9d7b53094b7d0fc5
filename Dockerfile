# The page in a container; `docker run -p 127.0.0.1:8501:8501 IMAGE` opens it to this machine alone.
# For CUDA name PyTorch's index of wheels for your driver:
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 -t chatterscope .
FROM python:3.12-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# A new volume takes the owner of the folder that it covers, and root where the image has none.
RUN useradd --create-home --uid 1000 chatterscope \
    && install --directory --owner=chatterscope --group=chatterscope /home/chatterscope/cache
WORKDIR /home/chatterscope/app
COPY requirements.txt .
# torch first: the index that it comes from is the only difference between the two.
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" "$(grep '^torch==' requirements.txt)" \
    && pip install --no-cache-dir -r requirements.txt
# Reports of a comparison name the version, which is the changelog's newest.
COPY CHANGELOG.md .
COPY .streamlit .streamlit
COPY app app
COPY sadam sadam
COPY probes probes
COPY demo_models demo_models
# The user can't write here, so Python would compile them at every start.
RUN python -m compileall -q app sadam probes demo_models

# By number, as Kubernetes can't tell that a name isn't root.
USER 1000
# Inside a container the loopback interface is its own; `docker run -p` says who may come in.
ENV CHATTERSCOPE_CACHE=/home/chatterscope/cache
EXPOSE 8501
# http.client asks no proxy, though Docker may hand one into every container.
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import http.client as h, sys; \
    c = h.HTTPConnection('127.0.0.1', 8501, timeout=5); c.request('GET', '/_stcore/health'); \
    sys.exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "app", "serve", "--no-browser", "--address", "0.0.0.0"]
