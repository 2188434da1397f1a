# mien serve: small, not root, works with a read-only root file system.
#   docker build -t mien .
#   docker run --read-only --tmpfs /tmp -v mien:/data -p 127.0.0.1:8000:8000 mien
# It listens on all addresses of the container, so it wants a key:
#   docker run --rm -v mien:/data mien serve key add me --role admin
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src src
RUN python -m venv /opt/mien \
 && /opt/mien/bin/pip install --no-cache-dir --constraint constraints.txt '.[server,postgres,watch]'
# converts the networks once, so that the first start needs to write nothing
RUN MIEN_CACHE=/opt/cache /opt/mien/bin/python -c "from mien import Analyzer; Analyzer()"

FROM python:3.13-slim
COPY --from=build /opt/mien /opt/mien
COPY --from=build /opt/cache /opt/cache
RUN useradd --system --uid 10001 --home-dir /data mien && install -d -o mien -g mien -m 700 /data
USER 10001
ENV PATH=/opt/mien/bin:$PATH MIEN_CACHE=/opt/cache MIEN_DATA=/data MIEN_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["mien"]
CMD ["serve", "--host", "0.0.0.0"]
