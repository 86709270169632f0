// A client that knows nothing but the protos: it runs an operation and prints what comes.
// usage: node client.mjs PROTOS ADDRESS TOKEN OPERATION_JSON
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [protos, address, token, operation] = process.argv.slice(2);
const definition = loader.loadSync("rbee/v1/job_service.proto", {
  includeDirs: [protos],
  keepCase: true,
  enums: String,
  longs: Number,
  oneofs: true,
});
const { rbee } = grpc.loadPackageDefinition(definition);
const client = new rbee.v1.JobService(address, grpc.credentials.createInsecure());
const metadata = new grpc.Metadata();
if (token) metadata.set("authorization", `Bearer ${token}`);

const call = client.RunJob({ operation: JSON.parse(operation) }, metadata);
call.on("metadata", (initial) => {
  console.log(JSON.stringify({ initial_job_id: initial.get("rbee-job-id")[0] }));
});
call.on("data", (response) => {
  for (const event of response.events) {
    const { kind } = event;
    console.log(JSON.stringify({ job_id: response.job_id, sequence: event.sequence, kind, body: event[kind] }));
  }
});
call.on("error", (error) => {
  console.log(JSON.stringify({ code: error.code, message: error.details }));
  process.exit(1);
});
call.on("end", () => process.exit(0));
