# Stands in for prom/prometheus: another build of Prometheus at the same paths, under the same user.
FROM python:3.11-slim
COPY busybox prometheus promtool /bin/
RUN ln -s busybox /bin/wget && mkdir -p /prometheus /etc/prometheus && chown 65534:65534 /prometheus
USER 65534
EXPOSE 9090
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
