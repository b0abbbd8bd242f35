# The server in an image of its own: hashed dependencies, no pip, no compiler, no root.
# Build: docker build -t auditlogservice .    Run: docker run -p 127.0.0.1:8080:8080 -v audit:/data auditlogservice

FROM python:3.13-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# Dependencies first: they change less often than the code, and their layer is kept.
COPY requirements/server.txt requirements/build.txt requirements/
RUN python -m venv --without-pip /opt/auditlogservice \
 && python -m pip --python /opt/auditlogservice/bin/python install --require-hashes -r requirements/server.txt \
 && python -m pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && python -m pip --python /opt/auditlogservice/bin/python install --no-deps --no-index dist/*.whl

FROM python:3.13-slim
COPY --from=build /opt/auditlogservice /opt/auditlogservice
# A named volume takes the owner and the mode of the folder that it covers.
RUN install -d -o 10001 -g 10001 -m 0700 /data
ENV PATH=/opt/auditlogservice/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    AUDITLOG_HOST=0.0.0.0 \
    AUDITLOG_DATA_DIR=/data
WORKDIR /data
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, ssl, urllib.request as r; e = os.environ; r.urlopen(f\"http{'s' * bool(e.get('AUDITLOG_TLS_CERT'))}://127.0.0.1:{e.get('AUDITLOG_PORT', '8080')}/readyz\", timeout=4, context=ssl._create_unverified_context())"]
# Exec form: the server is process 1 itself, and SIGTERM reaches it.
ENTRYPOINT ["auditlogservice"]
CMD ["serve"]
