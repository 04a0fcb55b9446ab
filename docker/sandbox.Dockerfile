# The sandbox service in an image of its own (docs/sandbox.md). From the folder of this repository:
#   docker build -f docker/sandbox.Dockerfile -t sftgen-sandbox .
FROM python:3.12-slim
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE sftgen.py _sftgen_autoload.py sftgen_autoload.pth sftgen_autoload.start ./
COPY sftgen_judges sftgen_judges
COPY sftgen_tasks sftgen_tasks
COPY sftgen_train sftgen_train
COPY task_configs task_configs
# The service needs little of sftgen: no torch, no lm_eval. The second line is for the programs alone.
RUN pip install --no-cache-dir -c constraints.txt pluggy \
 && pip install --no-cache-dir numpy scipy sympy mpmath networkx sortedcontainers \
 && pip install --no-cache-dir --no-deps . \
 && rm -rf /src
WORKDIR /
# Nobody, who owns nothing here.
USER 65534:65534
# Where its host lets it have neither namespaces nor Landlock, the container is the boundary.
ENV SFTGEN_ALLOW_UNSANDBOXED_CODE=1 SFTGEN_NO_AUTOLOAD=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8731
ENTRYPOINT ["python", "-m", "sftgen_tasks.sandbox.service", "--host", "0.0.0.0"]
