# One of the example services, as a team would ship it: the SDK and a framework, no issuer.
#
#   docker build -f docker/service.Dockerfile -t apostille-example .

FROM python:3.11-slim AS build
WORKDIR /src
COPY constraints.txt ./
COPY contracts contracts
COPY sdk sdk
COPY adapters adapters
RUN python -m venv /opt/example \
 && /opt/example/bin/pip install --no-cache-dir --disable-pip-version-check \
      -c constraints.txt ./contracts ./sdk "./adapters[examples]"

FROM python:3.11-slim
RUN useradd --system --uid 10002 --no-create-home --home-dir /nonexistent example
COPY --from=build /opt/example /opt/example
ENV PATH=/opt/example/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10002
EXPOSE 8001
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8001/health', timeout=2)"]
ENTRYPOINT ["python", "-m", "apostille_examples.fastapi_inventory"]
CMD ["--issuer", "http://issuer:8000", "--allow-insecure-http", "--host", "0.0.0.0", "--port", "8001"]
