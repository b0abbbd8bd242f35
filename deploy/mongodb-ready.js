// The health check of the first MongoDB node. On the first run it makes the replica set; on every
// run it fails until there is a primary. Making it twice is refused by MongoDB, so this may repeat.
try {
  db.adminCommand({ replSetGetStatus: 1 }).ok || quit(1);
} catch (error) {
  if (error.codeName !== "NotYetInitialized") throw error;
  rs.initiate({
    _id: "rs0",
    members: [
      { _id: 0, host: "mongo1:27017", priority: 2 },
      { _id: 1, host: "mongo2:27017" },
      { _id: 2, host: "mongo3:27017" },
    ],
  });
}
if (!db.hello().primary) quit(1);
