# OpenAI's API before a service in another container: that service's own image, with the door's packages.
ARG IMAGE
FROM ${IMAGE}
COPY door.txt /tmp/door.txt
RUN python -m pip install --no-cache-dir --no-deps --require-hashes --requirement /tmp/door.txt
EXPOSE 8000
CMD ["python", "-m", "deepseek_math", "openai", "--host", "0.0.0.0", "--url", "http://math:5000"]
