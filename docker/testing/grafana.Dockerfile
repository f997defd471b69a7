# Stands in for grafana/grafana, which it is not: see grafana_stub.py.
FROM python:3.11-slim
COPY busybox /bin/
COPY requirements.lock grafana_stub.py /
RUN ln -s busybox /bin/wget && pip install --no-cache-dir -c /requirements.lock pyyaml \
    && mkdir -p /var/lib/grafana /etc/grafana && chown 472:0 /var/lib/grafana
USER 472
EXPOSE 3000
ENTRYPOINT ["python", "/grafana_stub.py"]
