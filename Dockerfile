# The service, for an unprivileged user:
#   docker build -t transfercast .
#   docker run -e TRANSFERCAST_API_KEY -p 127.0.0.1:8000:8000 -v "$PWD:/data" transfercast --predictor meta --history history.db
# It binds to all addresses of the container, so serve asks for the key; without one it refuses to start.
FROM python:3.11-slim

RUN useradd --create-home --uid 10001 transfercast
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY transfercast transfercast
# PyTorch comes without CUDA: the service never computes on a GPU.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu --constraint constraints.txt '.[service,postgres]' \
    && rm -rf /build

USER transfercast
WORKDIR /data
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=5)"]
ENTRYPOINT ["transfercast", "serve", "--host", "0.0.0.0"]
